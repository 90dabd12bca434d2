"""Commands and files go to the namespaces of a process, as ssh takes them to another machine."""

import shlex
import shutil

from ansible.plugins.connection.local import Connection as LocalConnection

DOCUMENTATION = """
name: second_host
short_description: Run tasks in the namespaces of a process
description:
  - Run tasks in the namespaces of a process.
author: The portero developers
options:
  process:
    description: The process.
    type: int
    required: true
    vars:
      - name: lab_process
"""


class Connection(LocalConnection):
    """The host that a process lives in."""

    transport = 'second_host'

    def exec_command(self, cmd, in_data=None, sudoable=True):
        process = self.get_option('process')
        words = ['nsenter', '--target=%d' % process, '--mount', '--net', '--uts', '--', '/bin/sh', '-c', cmd]
        return super().exec_command(shlex.join(words), in_data=in_data, sudoable=sudoable)

    def put_file(self, in_path, out_path):
        shutil.copyfile(in_path, self.there(out_path))

    def fetch_file(self, in_path, out_path):
        shutil.copyfile(self.there(in_path), out_path)

    def there(self, path):
        """A file of that host, as this one finds it."""
        return '/proc/%d/root%s' % (self.get_option('process'), path)
