"""`dexzoo table3`: RealDex, Table 3, on your data."""

from functools import partial

from ..commandline.settings import Table3
from ._table import table

main = partial(table, Table3)
