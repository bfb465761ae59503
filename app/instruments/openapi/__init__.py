"""Reads the service's OpenAPI: finds its documents, lists their operations, builds a body for each."""

from app.instruments.openapi.documents import KEPT_BYTES, OpenApiDocuments, document_of, operations_of

__all__ = ["KEPT_BYTES", "OpenApiDocuments", "document_of", "operations_of"]
