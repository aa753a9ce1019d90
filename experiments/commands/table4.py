"""`dexzoo table4`: RealDex, Table 4, on your data."""

from functools import partial

from ..commandline.settings import Table4
from ._table import table

main = partial(table, Table4)
