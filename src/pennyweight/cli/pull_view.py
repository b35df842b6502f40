"""What `penny pull` shows of a repository: its files, which of them is taken, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pennyweight.cli.terminal import notice

if TYPE_CHECKING:
    from pennyweight.models.address import HubAddress
    from pennyweight.models.fetch_hub import HubOffer

_SHOWN_COMMIT = 12


def show_files(found: HubOffer) -> None:
    """The models of a repository on standard output, one a line; a star marks what would be taken."""
    for line in _lines(found):
        print(line)
    print(f"* {found.choice.reason} ({found.choice.num_bytes / 1e9:,.2f} GB)")


def show_offer(address: HubAddress, found: HubOffer, *, memory_bytes: int) -> None:
    """What is about to be fetched, for the person at the terminal."""
    repository, choice = found.repository, found.choice
    licence = f", licence {repository.licence}" if repository.licence else ", licence not told"
    notice(f"{repository.repo} at {repository.commit[:_SHOWN_COMMIT]}{licence}")
    if address.file is None:
        for line in _lines(found) if len(found.variants) > 1 else ():
            notice(line)
        notice(f"Taking {choice.reason} ({choice.num_bytes / 1e9:,.2f} GB)")
    if choice.num_bytes > memory_bytes:
        notice(
            f"It has {choice.num_bytes / 1e9:,.1f} GB, more than the {memory_bytes / 1e9:,.1f} GB of memory "
            "available here"
        )


def _lines(found: HubOffer) -> list[str]:
    if found.choice.form == "safetensors":
        named = [(file.name, file.size, True) for file in found.choice.files]
    else:
        taken = found.choice.files[0].name
        named = [(one.name, one.num_bytes, one.name == taken) for one in found.variants]
    width = max(len(name) for name, _, _ in named)
    return [
        f"{'*' if chosen else ' '} {name:<{width}} {size / 1e6:>10,.1f} MB" for name, size, chosen in named
    ]
