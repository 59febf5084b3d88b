"""Lints a whole folder of contracts: every rule over every file, and one sorted list of findings."""

from mailpact.contracts.catalogue import Topology, topology_of
from mailpact_contract_tool.folder import forms
from mailpact_contract_tool.folder.documents import Files
from mailpact_contract_tool.folder.layout import ContractFolder, contract_folders
from mailpact_contract_tool.lint import history_rules
from mailpact_contract_tool.lint.collected import Collected
from mailpact_contract_tool.lint.contract import ContractLint
from mailpact_contract_tool.lint.history_rules import INDEX, Entry, entries_of
from mailpact_contract_tool.lint.rules import Fault, Finding, LintRule
from mailpact_contract_tool.lint.topology_rules import topology_faults

TOPOLOGY, ERRORS = "topology.json", "errors.json"


def lint(files: Files) -> list[Finding]:
    """Return the findings about these files, sorted by file; an empty list if there are none."""
    collected = Collected(files)
    entries = _entries(collected)
    topology, codes = _topology(collected), _error_codes(collected)
    folders = {folder.path: folder for folder in contract_folders(files)}
    collected.add_findings(history_rules.published_findings(files, entries, [*folders.values()]))
    by_folder = {entry.folder: entry for entry in entries}
    for missing in by_folder.keys() - folders.keys():
        collected.object(f"{missing}/schema.json", INDEX)
    for folder in folders.values():
        _history(collected, folder, by_folder.get(folder.path))
        ContractLint(collected, folder, topology, codes).run()
    return collected.sorted()


def _entries(collected: Collected) -> list[Entry]:
    document = collected.formed(INDEX, forms.INDEX, "every contract")
    return [] if document is None else entries_of(document)


def _topology(collected: Collected) -> Topology | None:
    document = collected.formed(TOPOLOGY, forms.TOPOLOGY, "every binding")
    if document is None:
        return None
    topology = topology_of(document)
    collected.add(TOPOLOGY, topology_faults(topology))
    return topology


def _error_codes(collected: Collected) -> frozenset[str] | None:
    document = collected.formed(ERRORS, forms.ERRORS, "every vector")
    return None if document is None else frozenset(row["code"] for row in document["errors"])


def _history(collected: Collected, folder: ContractFolder, entry: Entry | None) -> None:
    files = collected.files
    collected.add_findings(history_rules.unreleased_findings(files, entry, folder))
    if entry is None:
        return
    collected.add_findings(history_rules.version_findings(entry, folder))
    changelog = files.get(folder.changelog)
    if changelog is None:
        collected.add(
            folder.changelog, [Fault(LintRule.FILE_MISSING, "", f"is missing; {folder.path} needs it")]
        )
    else:
        text = changelog.decode("utf-8", "replace")
        collected.add_findings(history_rules.changelog_findings(text, entry, folder))
