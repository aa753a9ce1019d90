"""`dexzoo table4`: RealDex, Table 4, on your data; all but its settings is as in `dexzoo table3`."""

from functools import partial

from ..commandline.settings import Table4
from . import table3

main = partial(table3.main, kind=Table4)
