import asyncio
import re

import snakepit

_LINK = re.compile(r'<a href="([^"]*)">')
_TITLE = re.compile(r"<title>([^<]*)</title>")


@snakepit.tool
async def scrape(port: int, path: str) -> dict:
    """Title and links of a page. While this one waits for its answer, others are fetched."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        head, _, page = (await reader.read()).decode().partition("\r\n\r\n")
    finally:
        writer.close()
    if " 200 " not in head:
        raise LookupError(head.partition("\r\n")[0])
    return {"title": _TITLE.findall(page)[0], "links": _LINK.findall(page)}
