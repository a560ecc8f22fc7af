"""usage: check_numpy_arrays.py PROGRAM"""

import sys

import support

support.expect_output(
    sys.argv[1],
    """\
standardise: dtype <f8, shape [3, 2]
  -1.225  -0.926
  +0.000  -0.463
  +1.225  +1.389
histogram: counts <i8 [3], edges <f8 [4]
  5  0  1
""",
)
