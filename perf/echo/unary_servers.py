"""The usual way: a hand-written Python gRPC server for one unary method. `unary_servers.py aio|sync SOCKET`.

The handler gives back the request's bytes unparsed, which is as cheap as such a server can be. Ends with its stdin.
"""

import asyncio
import sys
from concurrent import futures

import grpc

METHOD = "Echo"


def handlers(function):
    rpc = grpc.unary_unary_rpc_method_handler(function)
    return grpc.method_handlers_generic_handler("snakepit.perf.Echo", {METHOD: rpc})


def serve_sync(address: str) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers((handlers(lambda request, context: request),))
    server.add_insecure_port(address)
    server.start()
    sys.stdin.read()
    server.stop(None)


async def serve_aio(address: str) -> None:
    async def echo(request, context):
        return request

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers(echo),))
    server.add_insecure_port(address)
    await server.start()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


if __name__ == "__main__":
    kind, socket = sys.argv[1:]
    if kind == "aio":
        asyncio.run(serve_aio(f"unix:{socket}"))
    else:
        serve_sync(f"unix:{socket}")
