"""What `penny store verify` looks at: one file per noun, each a `Check`; all of them in `CHECKS`."""

from pennyweight.store.checks.batches import check_batches
from pennyweight.store.checks.blobs import check_blobs
from pennyweight.store.checks.check import Check, Finding, Scope
from pennyweight.store.checks.database import check_database
from pennyweight.store.checks.files import check_files
from pennyweight.store.checks.generations import check_generations
from pennyweight.store.checks.idempotent_answers import check_idempotent_answers
from pennyweight.store.checks.items import check_items
from pennyweight.store.checks.keys import check_keys
from pennyweight.store.checks.limits import check_limits
from pennyweight.store.checks.references import check_references
from pennyweight.store.checks.responses import check_responses
from pennyweight.store.checks.tuning import check_tuning
from pennyweight.store.checks.usage import check_usage
from pennyweight.store.checks.vector_stores import check_vector_stores

CHECKS: tuple[tuple[str, Check], ...] = (
    ("database", check_database),
    ("references", check_references),
    ("blobs", check_blobs),
    ("files", check_files),
    ("batches", check_batches),
    ("generations", check_generations),
    ("items", check_items),
    ("responses", check_responses),
    ("vector stores", check_vector_stores),
    ("fine-tuning", check_tuning),
    ("keys", check_keys),
    ("limits", check_limits),
    ("usage", check_usage),
    ("idempotent answers", check_idempotent_answers),
)

__all__ = ["CHECKS", "Check", "Finding", "Scope"]
