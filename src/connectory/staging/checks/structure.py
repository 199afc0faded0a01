"""The structure check: the applications that connect.yaml names are there and can be built."""

from typing import Final

from connectory.specification import FILE_NAME, faults
from connectory.specification.structure import check_structure
from connectory.staging.checks.model import (
    Finding,
    Result,
    Severity,
    Source,
    concluded,
    shown,
    skipped,
)


class StructureCheck:
    """Looks for the folder of each application, and for what its kind needs."""

    name: Final = "structure"
    title: Final = "Connector structure check"

    def run(self, source: Source) -> Result:
        """Look at a tree."""
        try:
            found = check_structure(source.root, source.specification)
        except OSError as error:
            return skipped(self, f"the tree cannot be read: {error.strerror}")
        return concluded(self, [self._finding(fault) for fault in found])

    def _finding(self, fault: faults.Fault) -> Finding:
        error = fault.severity is faults.Severity.ERROR
        hint = f"; {fault.hint}" if fault.hint else ""
        return Finding(
            check=self.name,
            rule=fault.rule,
            severity=Severity.HIGH if error else Severity.LOW,
            path=FILE_NAME,
            line=fault.position.line,
            message=shown(f"{fault.message}{hint}"),
            error=error,
        )
