"""usage: check_sessions.py PROGRAM"""

import sys

import support

support.expect_output(
    sys.argv[1],
    """\
alice: I like birds.
    Nice to meet you.
bob: I am Bob.
    Nice to meet you.
(the worker is killed)
alice: Do you remember?
    Before that you said 1 things, the first was: I like birds.
bob: And me?
    Before that you said 1 things, the first was: I am Bob.
alice's history, change 2: ["I like birds.","Do you remember?"]
alice: Hello again.
    Nice to meet you.
""",
    events=["worker_ended"],
)
