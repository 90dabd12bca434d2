#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: The portero developers
# GNU General Public License, version 2 or any later version (see LICENSE of portero), so also version 3
# (https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r'''
module: portero_policy
short_description: Control who reaches a virtual network of libvirt
description:
  - Writes the file of a network or group in C(/etc/portero), or removes it, and applies it with C(portero sync).
  - portero validates the content first. If it is wrong, nothing changes and the task fails with portero's line.
  - If portero refuses the change afterwards, for example because a policy names a group that you remove, the module restores the
    file and the task fails with portero's line.
  - The task is changed if the file differs, or if the firewall does not hold the policy of an active network yet.
author:
  - The portero developers (@portero)
requirements:
  - portero on the managed host, of the same version as this collection, and to be run as root there
attributes:
  check_mode:
    description: Can run in check mode, and reports what would change.
    details:
      - portero validates the content. If the content needs what is missing, for example a group that an earlier task would write,
        the task warns. What portero refuses only when it applies the file is not found.
    support: partial
  diff_mode:
    description: Shows the file before and after the change.
    support: full
options:
  network:
    description:
      - Name of the network. Its file is C(/etc/portero/networks/NAME.xml).
    type: str
  group:
    description:
      - Name of the group of addresses. Its file is C(/etc/portero/groups/NAME.xml).
    type: str
  content:
    description:
      - The whole file, a C(portero:network) with a policy, or a C(portero:group). Required if O(state=present).
      - A network's file can have forwards too.
    type: str
  state:
    description:
      - Whether the file exists.
    type: str
    choices:
      - present
      - absent
    default: present
seealso:
  - module: portero.libvirt.portero_forward
  - module: portero.libvirt.portero_bridge
'''

EXAMPLES = r'''
- name: The addresses of the office
  portero.libvirt.portero_policy:
    group: office
    content: |
      <portero:group xmlns:portero='urn:portero:1'>
        <portero:peer address='198.51.100.0' prefix='24'/>
      </portero:group>

- name: Let only the office reach the web servers of network lab
  portero.libvirt.portero_policy:
    network: lab
    content: |
      <portero:network xmlns:portero='urn:portero:1'>
        <portero:policy>
          <portero:default in='reject'/>
          <portero:rule action='accept' direction='in'>
            <portero:peer group='office'/>
            <portero:tcp dstportstart='80'/>
          </portero:rule>
        </portero:policy>
      </portero:network>

- name: Write the policy of network dmz from a template
  portero.libvirt.portero_policy:
    network: dmz
    content: "{{ lookup('ansible.builtin.template', 'dmz.xml.j2') }}"

- name: Remove the policy of network lab
  portero.libvirt.portero_policy:
    network: lab
    state: absent
'''

RETURN = r'''
path:
  description: The file.
  returned: success
  type: str
  sample: /etc/portero/networks/lab.xml
clauses:
  description:
    - What the policy becomes, in the order of evaluation, as C(portero policy check --json) has it. Empty for a group and for a
      network that is not active.
  returned: success
  type: list
  elements: dict
  sample:
    - way: in
      clause: in default
      verdict: reject
      match: anything
'''

import os
import tempfile
from xml.etree import ElementTree

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.common.text.converters import to_bytes, to_text
from ansible_collections.portero.libvirt.plugins.module_utils.portero import WOULD_CHANGE, Portero

FOLDERS = {'network': '/etc/portero/networks', 'group': '/etc/portero/groups'}


class Policy(object):
    """The file of a network or group."""

    def __init__(self, module):
        self.module = module
        self.portero = Portero(module)
        self.kind = 'network' if module.params['network'] is not None else 'group'
        self.name = module.params[self.kind]
        if '/' in self.name or self.name in ('', '.', '..'):
            module.fail_json(msg="'%s' is no name of a %s" % (self.name, self.kind))
        self.path = os.path.join(FOLDERS[self.kind], self.name + '.xml')

    def written(self):
        """The file's content; nothing if it does not exist."""
        try:
            with open(self.path, 'rb') as file:
                return to_text(file.read())
        except (IOError, OSError) as error:
            if os.path.exists(self.path):
                self.module.fail_json(msg='cannot read %s: %s' % (self.path, to_text(error)))
            return None

    def check(self, content):
        """Lets portero check what is to be written; gives its clauses."""
        try:
            found = ElementTree.fromstring(to_bytes(content)).tag.rpartition('}')[2]
        except ElementTree.ParseError:
            found = self.kind  # portero names the line.
        if found != self.kind:
            self.module.fail_json(msg='content is a <%s>, expected a <portero:%s>' % (found, self.kind))
        path = self.temporary(content)
        try:
            words = ['validate', path]
            ran = self.portero.try_run(words)
            if ran.status != 0:
                self.portero.fail(ran, words, ran.message().replace(path, self.path))
            if self.kind == 'group' or not self.is_active():
                return []
            words = ['policy', 'check', path, '--network=' + self.name, '--json']
            ran = self.portero.run(words, (0, 1))
            checked = self.module.from_json(ran.stdout)
            error = (checked['error'] or '').replace(path, self.path)
            if error and not self.module.check_mode:
                self.portero.fail(ran, words, error)
            if error:
                # An earlier task of the playbook may write what is missing.
                self.module.warn(error)
            for warning in checked['warnings']:
                self.module.warn(warning)
            return checked['clauses']
        finally:
            os.remove(path)

    def temporary(self, content):
        """A file with the content."""
        handle, path = tempfile.mkstemp(suffix='.xml', dir=self.module.tmpdir)
        with os.fdopen(handle, 'wb') as file:
            file.write(to_bytes(content))
        return path

    def is_active(self):
        """Whether libvirt runs the network."""
        status = self.portero.read(['status', '--json'])
        return any(network['name'] == self.name for network in status['networks'])

    def is_applied(self):
        """Whether the firewall holds what is written for the network, if it is active and has a policy."""
        if self.kind == 'group':
            return True
        shown = self.portero.read(['policy', 'show', '--json'])
        own = [policy for policy in shown if policy['network'] == self.name]
        return all(policy['in_firewall'] and policy['origin'] for policy in own)

    def refusals(self):
        """What portero refuses now of all that is written."""
        return self.portero.run(['plan'], (0, 1, WOULD_CHANGE)).errors

    def write(self, content):
        """Writes the file; removes it if there is no content."""
        if content is None:
            os.remove(self.path)
        else:
            self.module.atomic_move(self.temporary(content), self.path)
            os.chmod(self.path, 0o644)

    def bring_about(self, before, after):
        """Writes the file and applies it."""
        refused = self.refusals()
        if before != after:
            self.write(after)
        words = ['sync']
        ran = self.portero.run(words, (0, 1))
        new = [error for error in ran.errors if error not in refused]
        if new:
            if before != after:
                self.write(before)
                self.portero.try_run(words)
            self.portero.fail(ran, words, '\n'.join(new))


def main():
    module = AnsibleModule(
        argument_spec=dict(
            network=dict(type='str'),
            group=dict(type='str'),
            content=dict(type='str'),
            state=dict(type='str', choices=['present', 'absent'], default='present'),
        ),
        mutually_exclusive=[('network', 'group')],
        required_one_of=[('network', 'group')],
        required_if=[('state', 'present', ['content'])],
        supports_check_mode=True,
    )
    policy = Policy(module)
    after = module.params['content'] if module.params['state'] == 'present' else None
    clauses = policy.check(after) if after is not None else []
    before = policy.written()
    changed = before != after or not policy.is_applied()
    if changed and not module.check_mode:
        policy.bring_about(before, after)
    module.exit_json(
        changed=changed,
        path=policy.path,
        clauses=clauses,
        diff=dict(
            before=before or '',
            after=after or '',
            before_header=policy.path,
            after_header=policy.path,
        ),
    )


if __name__ == '__main__':
    main()
