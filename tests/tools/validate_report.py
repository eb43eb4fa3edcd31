# SPDX-License-Identifier: Apache-2.0
"""validate_report.py SCHEMA FILE...: exit status 0 when every file follows the schema, 3 with the reasons when not."""
import json
import sys

import jsonschema


def main():
    with open(sys.argv[1], encoding="utf-8") as source:
        schema = json.load(source)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    status = 0
    for path in sys.argv[2:]:
        with open(path, encoding="utf-8") as source:
            for error in validator.iter_errors(json.load(source)):
                print(f"{path}: {'/'.join(map(str, error.absolute_path)) or '(top)'}: {error.message[:300]}", file=sys.stderr)
                status = 3
    return status


if __name__ == "__main__":
    sys.exit(main())
