"""usage: check_bulk_map.py PROGRAM"""

import sys

import support

support.expect_output(
    sys.argv[1],
    """\
text 4242: ValueError: a text without words
9999 texts, mean 3.723
longest 9.333
""",
)
