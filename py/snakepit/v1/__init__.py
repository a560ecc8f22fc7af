"""The wire contract; its modules are generated from proto/snakepit/v1 by the build."""
