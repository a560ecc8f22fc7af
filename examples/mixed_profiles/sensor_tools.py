import asyncio
import statistics

import snakepit


@snakepit.tool(group="io")
async def read_sensor(port: int, number: int) -> list[float]:
    """What a sensor has measured. It takes its time, and nothing of ours: many are read at once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"{number}\n".encode())
        return [float(line) for line in (await reader.read()).split()]
    finally:
        writer.close()


@snakepit.tool
def analyse(readings: list[float]) -> dict:
    """Computes, and so has a process for itself."""
    smooth = [statistics.median(readings[max(0, i - 8) : i + 9]) for i in range(len(readings))]
    return {"mean": statistics.fmean(smooth), "spread": statistics.pstdev(smooth)}
