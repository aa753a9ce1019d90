"""Which of many proposed grasps to keep."""
