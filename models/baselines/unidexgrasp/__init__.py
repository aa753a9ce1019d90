"""UniDexGrasp (Xu et al., CVPR 2023): a density over rotations of the hand, then a flow of translation and joints."""
