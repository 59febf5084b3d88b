"""Lints one contract: its schemas, its binding, and its vectors."""

from dataclasses import dataclass

from mailpact.contracts.catalogue import Binding, Limits, Topology, binding_of
from mailpact.contracts.errors import Refusal
from mailpact.contracts.parse import JsonObject
from mailpact_contract_tool.folder import forms
from mailpact_contract_tool.folder.layout import ContractFolder
from mailpact_contract_tool.lint import binding_rules, vector_rules
from mailpact_contract_tool.lint.collected import Collected
from mailpact_contract_tool.lint.pairs import pair_faults
from mailpact_contract_tool.lint.rules import Fault, LintRule
from mailpact_contract_tool.lint.schemas import UNUSABLE, Side, draft_faults, portable_faults
from mailpact_contract_tool.lint.vector_rules import Engine

_LIMITS_OF_A_PART = Limits(max_body_bytes=65536, max_depth=32, max_headers_bytes=32768)


@dataclass(frozen=True, slots=True)
class ContractLint:
    """Runs the rules over the files of one contract, and adds the findings to `collected`."""

    collected: Collected
    folder: ContractFolder
    topology: Topology | None
    codes: frozenset[str] | None

    def run(self) -> None:
        """Run all rules; an unreadable file stops only the rules that need the file."""
        reader, writer = (
            self._schema(path, side) for path, side in zip(self.folder.schemas, Side, strict=True)
        )
        binding = None if self.folder.is_template else self._binding(writer or {})
        if reader is None or writer is None:
            return
        self.collected.add(self.folder.schemas[1], pair_faults(reader, writer))
        engines = [
            engine
            for path, schema in zip(self.folder.schemas, (reader, writer), strict=True)
            if (engine := self._engine(path, schema)) is not None
        ]
        if len(engines) == len(Side):
            self._examples((reader, writer), engines)
            self._vectors((reader, writer), engines, binding)

    def _schema(self, path: str, side: Side) -> JsonObject | None:
        schema = self.collected.object(path, self.folder.path)
        if schema is None:
            return None
        faults = list(draft_faults(schema)) or list(portable_faults(schema, side))
        self.collected.add(path, faults)
        return None if UNUSABLE & {fault.rule for fault in faults} else schema

    def _binding(self, writer: JsonObject) -> Binding | None:
        path = self.folder.binding
        document = self.collected.formed(path, forms.BINDING, self.folder.path)
        if document is None:
            return None
        binding = binding_of(document)
        self.collected.add(path, binding_rules.name_faults(binding, self.folder.path))
        self.collected.add(path, binding_rules.reader_faults(binding))
        if self.topology is not None:
            self.collected.add(path, binding_rules.route_faults(binding, self.topology, writer))
        return binding

    def _engine(self, path: str, schema: JsonObject) -> Engine | None:
        """Compile a schema; add a finding for a failure only if there is no other finding about the file."""
        try:
            return Engine(schema)
        except ValueError:
            if not self.collected.speaks_of(path):
                self.collected.add(path, [Fault(LintRule.SCHEMA_NOT_2020_12, "", "does not compile")])
            return None

    def _examples(self, schemas: tuple[JsonObject, JsonObject], engines: list[Engine]) -> None:
        for path, schema in zip(self.folder.schemas, schemas, strict=True):
            for engine, side in zip(engines, Side, strict=True):
                self.collected.add(path, vector_rules.example_faults(schema, engine, side=side))

    def _vectors(
        self, schemas: tuple[JsonObject, JsonObject], engines: list[Engine], binding: Binding | None
    ) -> None:
        vectors: list[JsonObject] = []
        tried: list[set[str]] = [set() for _ in engines]
        for kind in ("valid", "invalid"):
            for path in self.folder.vectors(kind):
                vector = self.collected.formed(path, forms.VECTOR, self.folder.path)
                if vector is not None:
                    vectors.append(vector)
                    self._vector(path, vector, engines, binding, tried)
        if binding is not None:
            self.collected.add(self.folder.binding, binding_rules.untried_faults(binding, vectors))
        said: set[str] = set()
        for path, schema, locations in zip(self.folder.schemas, schemas, tried, strict=True):
            faults = list(vector_rules.untried_faults(schema, locations | said))
            self.collected.add(path, faults)
            said |= {fault.pointer for fault in faults}

    def _vector(
        self,
        path: str,
        vector: JsonObject,
        engines: list[Engine],
        binding: Binding | None,
        tried: list[set[str]],
    ) -> None:
        untyped = None if binding is None else vector_rules.untyped_fault(vector, binding)
        if untyped is not None:
            self.collected.add(path, [untyped])
            return
        body = vector_rules.sent_body(vector)
        if body is None:
            self.collected.add(
                path, [Fault(LintRule.FILE_TOO_LARGE, "", "its body has more than 4 MiB, or is not base64")]
            )
            return
        limits = _LIMITS_OF_A_PART if binding is None else binding.limits
        outcome = vector_rules.refused(vector, body, binding, limits)
        if "/vectors/valid/" in path:
            self.collected.add(path, vector_rules.valid_faults(outcome, engines[0], engines[1], vector))
        else:
            self.collected.add(path, vector_rules.invalid_faults(outcome, engines[0], vector))
        if self.codes is not None:
            self.collected.add(path, vector_rules.code_faults(vector, self.codes))
        if not isinstance(outcome, Refusal):
            for engine, locations in zip(engines, tried, strict=True):
                locations.update(failure.schema_pointer for failure in engine.failures(outcome))
