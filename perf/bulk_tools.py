import snakepit


@snakepit.tool
def echo(payload):
    return payload
