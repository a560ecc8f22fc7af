"""usage: check_async_scrape.py PROGRAM"""

import sys

import support

support.expect_output(
    sys.argv[1],
    """\
Page 0 links to /1 /2 /3
121 pages; one after the other they take 12.1 s: this was faster
""",
)
