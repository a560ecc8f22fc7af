"""Numbers of the wire contract that both sides must agree on (proto/snakepit/v1)."""

from __future__ import annotations

PROTOCOL_MAJOR = 1
PROTOCOL_MINOR = 0

CONTROL_METHOD = "/snakepit.v1.Host/Control"
WORK_METHOD = "/snakepit.v1.Host/Work"

KIB = 1024
MAX_FRAME_BYTES = 256 * KIB
MAX_FRAME_ITEMS = 512
MAX_INLINE_BYTES = 128 * KIB
STREAM_WINDOW = KIB * KIB  # credit with which a stream begins, each way
STREAM_ITEM_COST = 64  # that an item takes beside its bytes
GRPC_MESSAGE_BYTES = 4 * KIB * KIB  # frames stay far below it; Hello may carry many tools

MAX_TOOL_NAME_BYTES = 200
MAX_DOC_BYTES = 4 * KIB
MAX_DEFAULT_BYTES = 200
MAX_ANNOTATION_BYTES = KIB
MAX_TOOLS = 10_000
MAX_PARAMETERS = 255
MAX_PARAMETER_NAME_BYTES = 200

MAX_TYPE_BYTES = 256
MAX_MESSAGE_BYTES = 8 * KIB
MAX_TRACEBACK_BYTES = 32 * KIB
MAX_CAUSES = 8
MAX_CAUSE_MESSAGE_BYTES = KIB
MAX_BLOCKED_BY_BYTES = KIB
MAX_STACK_BYTES = 16 * KIB
MAX_STACKS_BYTES = 64 * KIB

MAX_TELEMETRY_BYTES = 256 * KIB
MAX_TELEMETRY_ITEMS = 512  # logs, and spans
MAX_TELEMETRY_FIELDS = 32
MAX_FIELD_KEY_BYTES = 128
MAX_FIELD_VALUE_BYTES = KIB
MAX_LOGGER_BYTES = 256
MAX_SPAN_FUNCTION_BYTES = 256
MAX_SPAN_THREAD_BYTES = 128
MAX_SPAN_MESSAGE_BYTES = KIB

END_SECONDS = 2.0  # how long the host may take to end the streams of a worker that has finished

# Exit codes of a worker. "Could not start" is told apart from "was asked to stop" (0).
EXIT_BROKEN = 70  # an exception where none may be; the traceback is on stderr
EXIT_LOST = 75  # the connection or one of the streams ended
EXIT_PROTOCOL = 76  # the host broke the contract
EXIT_REFUSED = 77  # the host sent Refuse
EXIT_START = 78  # failed before Hello
