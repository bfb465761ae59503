"""A load on several cores or machines: its plan in parts, a worker for each, and their samples made one."""
