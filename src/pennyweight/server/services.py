"""What the routes share beside the engine: the store and what is built on it."""

from __future__ import annotations

from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pennyweight.config import Settings
    from pennyweight.cost.usage_journal import UsageJournal
    from pennyweight.quota.accounts import Accounts
    from pennyweight.server.keyring import KeyRing
    from pennyweight.store.blobs import BlobStore
    from pennyweight.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Handed to the routes that need one of them."""

    folder: Path
    database: Database
    blobs: BlobStore
    keys: KeyRing
    accounts: Accounts
    usage: UsageJournal


@contextmanager
def open_services(settings: Settings) -> Iterator[Services]:
    """Open the data folder for one server, and close it afterwards. Raises ConfigError, StorageFullError.

    The store is imported here: a tenth of a second that happens while the server already listens.
    """
    from pennyweight.cost.power_meter import PowerMeter
    from pennyweight.cost.price_list import read_prices
    from pennyweight.cost.rapl import Rapl
    from pennyweight.cost.usage_journal import UsageJournal
    from pennyweight.quota.accounts import Accounts
    from pennyweight.quota.budgets import Budgets
    from pennyweight.quota.rates import Rates
    from pennyweight.server.keyring import KeyRing
    from pennyweight.store.blobs import BlobStore
    from pennyweight.store.data_folder import DataFolder
    from pennyweight.store.database import Database
    from pennyweight.store.retention import Housekeeper, Retention

    prices = read_prices(settings.prices)
    folder = DataFolder.open(settings.data)
    url = settings.database or folder.database_url
    with folder.served(), Database.open(url) as database, ExitStack() as stack:
        keys = stack.enter_context(closing(KeyRing(database, static_key=settings.api_key)))
        budgets = stack.enter_context(closing(Budgets(database)))
        accounts = Accounts(rates=Rates(), budgets=budgets, prices=prices)
        usage = stack.enter_context(closing(UsageJournal(database)))
        blobs = BlobStore(folder.path, database)
        blobs.sweep()
        if (rapl := Rapl.find()) is not None:
            stack.enter_context(closing(PowerMeter(folder.path, rapl).start()))
        retention = Retention(
            generations_days=settings.keep_generations_days,
            events_days=settings.keep_events_days,
            usage_days=settings.keep_usage_days,
        )
        stack.enter_context(closing(Housekeeper(database, blobs, retention).start()))
        yield Services(
            folder=folder.path, database=database, blobs=blobs, keys=keys, accounts=accounts, usage=usage
        )
