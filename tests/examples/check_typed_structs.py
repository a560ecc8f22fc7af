"""usage: check_typed_structs.py PROGRAM"""

import sys

import support

support.expect_output(
    sys.argv[1],
    """\
Zoë: net 12899, tax 2451, total 15350
largest: Zoë with 2 lines, the first for lamp
as an invoice: type mismatch
""",
)
