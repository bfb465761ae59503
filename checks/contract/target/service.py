"""The service's own routes: its question, its stream, its document, its health."""

from __future__ import annotations

from pydantic import Field

from checks.contract.target.calls import Call, Count, Headers, Marker, Place, Request, Table, at_path
from checks.contract.texts import document_in


class Ask(Call):
    """``[ask]``: the business request, and how its reply is read."""

    answer: str | None = None
    good_statuses: tuple[int, ...] = (200, 201)
    cached: Marker | None = None


class Stream(Call):
    """``[stream]``: the streaming request; where the token text is, and what ends the stream.

    ``token`` is a path into an event's JSON data ("" or absent: the data is the text itself), ``reasoning``
    one to text that comes before the answer, ``token_count`` one to the number of tokens of the whole answer.
    The stream ends with an event named ``end_event``, or whose data is ``end_data``, or at a JSON path that
    is there. ``open`` is a gauge of the streams that are open just now: the service's own, or better the
    number of calls under way at the paid upstream.
    """

    token: str | None = None
    reasoning: str | None = None
    token_count: str | None = None
    end_event: str | None = None
    end_data: str | None = None
    end_json: str | None = None
    cached: Marker | None = None
    open: Count | None = None

    def render(self, **values: str | int) -> Request:
        """Fill the template and ask for an event stream."""
        request = super().render(**values)
        headers = {"Accept": "text/event-stream", **request.headers}
        return Request(request.method, request.url, headers, request.body)

    def ends(self, event: str, data: str) -> bool:
        """Whether this event says that the stream is complete."""
        if self.end_event is not None and event == self.end_event:
            return True
        if self.end_data is not None and data.strip() == self.end_data:
            return True
        return self.end_json is not None and at_path(document_in(data), self.end_json) is not None

    def text(self, event: str, data: str) -> str:
        """Token text of one event; "" for a role-only, empty or terminal event."""
        if self.ends(event, data):
            return ""
        if not self.token:
            return data
        found = at_path(document_in(data), self.token)
        return found if isinstance(found, str) else ""


class OpenApiPlace(Table):
    """``[openapi]``: where the service's document is, and what opens it. Else usual places are tried."""

    document: Place | None = None
    headers: Headers = Field(default_factory=dict)


class RequestCounter(Table):
    """``[health.requests]``: the service's own count of business requests, a ``metric`` with ``labels``."""

    metric: str
    labels: dict[str, str] = Field(default_factory=dict)


class Health(Table):
    """``[health]``: health, readiness and metrics routes, and where an instance or build id is."""

    liveness: Place | None = None
    readiness: Place | None = None
    metrics: Place | None = None
    headers: Headers = Field(default_factory=dict)
    healthy: Marker | None = None
    instance: Marker | None = None
    rolling_deploy: bool = False
    requests: RequestCounter | None = None
