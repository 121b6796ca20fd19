#!/usr/bin/env python3
"""Delete Jobs, which ends their pods: cancel.py NAME..."""

import sys

import requests
from api import JOBS, check, request

for name in sys.argv[1:]:
    answer = request("DELETE", JOBS, name, params={"propagationPolicy": "Background"})
    if answer.status_code != requests.codes.not_found:
        check(answer)
