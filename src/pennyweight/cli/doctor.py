"""`penny doctor`: what the engine finds on this machine, what is wrong and how to mend it."""

from __future__ import annotations

from pennyweight.cli.options import Json  # noqa: TC001  typer reads the annotations at run time


def doctor(as_json: Json = False) -> None:
    """Check processor, memory, cache folder and the default model. Exits with 1 if something is wrong."""
    import json

    import typer

    from pennyweight.cli.findings import examine

    findings = examine()
    if as_json:
        print(json.dumps([finding.as_dict() for finding in findings], ensure_ascii=False))
    else:
        width = max(len(finding.subject) for finding in findings)
        for finding in findings:
            print(f"{finding.subject:<{width}}  {finding.value}")
            if finding.remedy is not None:
                print(f"{'':<{width}}  -> {finding.remedy}")
    if any(finding.wrong for finding in findings):
        raise typer.Exit(1)
