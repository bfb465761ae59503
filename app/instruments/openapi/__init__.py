"""Reads the service's OpenAPI: finds its documents, lists their operations, builds a body for each."""

from app.instruments.openapi.documents import KEPT_BYTES, OpenApiDocuments, operations_of, read_document

__all__ = ["KEPT_BYTES", "OpenApiDocuments", "operations_of", "read_document"]
