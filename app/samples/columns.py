"""The columns of a sample file.

Times of a request are from its start, as checks/contract/load.py defines them.
"""

from __future__ import annotations

import pyarrow as pa

SCHEMA = pa.schema(
    [
        pa.field("start_s", pa.float64(), nullable=False),  # from the start of the measurement; as intended
        pa.field("start_unix_s", pa.float64(), nullable=False),  # the same moment as unix time
        pa.field("dispatch_ms", pa.float64(), nullable=False),  # how late it was sent; 0 in the closed model
        pa.field("latency_ms", pa.float64(), nullable=False),
        pa.field("first_byte_ms", pa.float64()),
        pa.field("first_event_ms", pa.float64()),
        pa.field("first_token_ms", pa.float64()),
        pa.field("first_answer_ms", pa.float64()),
        pa.field("tokens", pa.uint32()),
        pa.field("chunk_ms", pa.list_(pa.float32())),  # when each event with text came
        pa.field("bytes", pa.uint64(), nullable=False),
        pa.field("user", pa.uint32(), nullable=False),
        pa.field("worker", pa.uint16(), nullable=False),
        pa.field("status", pa.uint16()),
        pa.field("failure", pa.dictionary(pa.int8(), pa.string())),  # null: the request was answered
        pa.field("cached", pa.bool_()),  # null: the marker could not be read
    ]
)
ROW_GROUP_ROWS = 16_384
ROW_GROUP_BYTES = 16 << 20  # streams have a time for each of their events, so that fewer of them fill one
