"""How many changes a core decodes: a ten-column table as `cdc apply` has it written, with schemas, and the same without.

Run as `python -m benchmarks.cdc_decode`. Nothing but the decoder runs; reading from Kafka and folding come on top: see `cdc bench`.
"""

from __future__ import annotations

from cdc.bench import measure_decoding, write_record


def main() -> None:
    """Measure and print."""
    for label, with_schema in (("with schema", True), ("declared columns", False)):
        size = len(write_record(0, with_schema=with_schema)[1])
        print(f"{label}: {measure_decoding(with_schema=with_schema):,.0f} changes/s ({size:,} bytes each)")


if __name__ == "__main__":
    main()
