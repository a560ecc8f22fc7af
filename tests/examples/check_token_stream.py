"""usage: check_token_stream.py PROGRAM"""

import sys

import support

support.expect_output(
    sys.argv[1],
    """\
You said 'hello' , and I have thought about it for a while , and then some more .
19 tokens
You
said
'stop
... enough
streams left open in the worker: 0
ONE
TWO
THREE
and no more
""",
)
