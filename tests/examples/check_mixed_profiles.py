"""usage: check_mixed_profiles.py PROGRAM"""

import sys

import support

support.expect_output(
    sys.argv[1],
    """\
read by io-0, analysed by w0 w1; the mean of all is 19.5
group "": 40 calls
group "io": 40 calls
""",
)
