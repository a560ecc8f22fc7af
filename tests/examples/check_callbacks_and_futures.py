"""usage: check_callbacks_and_futures.py PROGRAM"""

import sys

import support

support.expect_output(
    sys.argv[1],
    """\
callback: 144
futures: the first 100 squares add up to 338350
mistake: no tool "sqare"; did you mean square?
cancelled: cancelled, at once
awaitable on a strand: 27
""",
)
