"""usage: check_host_tools.py PROGRAM"""

import sys

import support

support.expect_output(
    sys.argv[1],
    """\
Ada: 3 orders, median 4.80
Grace: 2 orders, median 10.00
HostToolError: no customer nobody
""",
)
