# -*- coding: utf-8 -*-
# Copyright: The portero developers
# GNU General Public License, version 2 or any later version (see LICENSE of portero), so also version 3
# (https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs portero, and gives its own words to Ansible."""

from __future__ import absolute_import, division, print_function

__metaclass__ = type

import json

# What `portero plan` and `portero bridge plan` exit with when they would change something.
WOULD_CHANGE = 3


def lines_of(kind, stderr):
    """The lines `KIND: ...` of what portero has printed to stderr."""
    start = kind + ': '
    return [line[len(start):] for line in stderr.splitlines() if line.startswith(start)]


class Ran(object):
    """What a call of portero resulted in."""

    def __init__(self, status, stdout, stderr):
        self.status = status
        self.stdout = stdout
        self.errors = lines_of('error', stderr)
        self.stderr = stderr

    def message(self):
        """Why it failed, in portero's own words."""
        return '\n'.join(self.errors) or self.stderr.strip() or 'portero exited with %d' % self.status


class Portero(object):
    """The command portero on the managed host."""

    def __init__(self, module):
        self.module = module
        self.path = module.get_bin_path('portero', required=True)

    def try_run(self, words):
        """Runs it; gives what it resulted in. Its warnings become the task's."""
        status, stdout, stderr = self.module.run_command([self.path] + words)
        for warning in lines_of('warning', stderr):
            self.module.warn(warning)
        return Ran(status, stdout, stderr)

    def run(self, words, statuses=(0,)):
        """Runs it; any other exit status fails the task."""
        ran = self.try_run(words)
        if ran.status not in statuses:
            self.fail(ran, words)
        return ran

    def read(self, words):
        """Runs it with words that have --json among them, and gives what it has printed."""
        return json.loads(self.run(words).stdout)

    def fail(self, ran, words, message=None):
        """Fails the task with portero's words."""
        self.module.fail_json(
            msg=message or ran.message(),
            cmd=[self.path] + words,
            rc=ran.status,
            stdout=ran.stdout,
            stderr=ran.stderr,
        )
