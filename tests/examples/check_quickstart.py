"""usage: check_quickstart.py PROGRAM"""

import sys

import support

support.expect_output(sys.argv[1], "5 words\n")
