#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: The portero developers
# GNU General Public License, version 2 or any later version (see LICENSE of portero), so also version 3
# (https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r'''
module: portero_bridge
short_description: Put a NIC of a libvirt host into a bridge
description:
  - Makes a bridge with C(portero bridge apply), confirms it, or removes it.
  - portero rolls the bridge back unless it is confirmed in time. A task of its own confirms it, so that Ansible has reached the host
    over the bridge before it stays.
  - The task is changed if portero made, confirmed, rolled back or removed the bridge.
author:
  - The portero developers (@portero)
requirements:
  - portero on the managed host, of the same version as this collection, and to be run as root there
attributes:
  check_mode:
    description: Can run in check mode, and reports what would change.
    details: portero plans the files of a bridge that it would make. It does not find whether it can remove a bridge.
    support: partial
  diff_mode:
    description: Shows the difference that the change makes.
    details: Only for a bridge that portero makes, as a diff of the files.
    support: partial
options:
  bridge:
    description:
      - Name of the bridge, 1 to 15 characters.
    type: str
    required: true
  state:
    description:
      - V(present) makes the bridge, which waits then to be confirmed.
      - V(confirmed) keeps a bridge that waits. It fails if there is no such bridge, for example because portero rolled it back.
      - V(absent) removes the bridge, or rolls it back if it waits. The files become what they were before.
    type: str
    choices:
      - present
      - confirmed
      - absent
    default: present
  nics:
    description:
      - The NICs in the bridge. The IP configuration of the first one moves to the bridge. Required if O(state=present).
    type: list
    elements: str
    aliases:
      - nic
  stp:
    description:
      - Turn on the spanning tree protocol.
    type: bool
    default: false
  renderer:
    description:
      - Format of the files, where more than one configures the NIC.
    type: str
    choices:
      - ifcfg
      - keyfile
      - networkd
      - netplan
      - ifupdown
  timeout:
    description:
      - Time to confirm in, in seconds, 10 to 3600.
    type: int
    default: 120
  accept:
    description:
      - What the bridge may lack although the NIC has it, for example V(routes). C(portero bridge apply --help) lists what you can accept.
    type: list
    elements: str
    default: []
notes:
  - If the bridge exists with the same NICs, O(stp), O(renderer), O(timeout) and O(accept) have no effect.
seealso:
  - module: portero.libvirt.portero_forward
  - module: portero.libvirt.portero_policy
'''

EXAMPLES = r'''
- name: Put eth0 into bridge br0
  portero.libvirt.portero_bridge:
    bridge: br0
    nics: eth0

- name: Wait until the host answers over the bridge
  ansible.builtin.wait_for_connection:
    timeout: 60

- name: Keep the bridge
  portero.libvirt.portero_bridge:
    bridge: br0
    state: confirmed

- name: Remove the bridge
  portero.libvirt.portero_bridge:
    bridge: br0
    state: absent
'''

RETURN = r'''
status:
  description:
    - The bridge after the task, as C(portero bridge status --json) has it. Null if it does not exist.
  returned: success
  type: dict
  sample:
    bridge: br0
    nics:
      - eth0
    addresses:
      - 192.0.2.10/24
    state: waiting
    seconds_left: 119
'''

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.portero.libvirt.plugins.module_utils.portero import WOULD_CHANGE, Portero


def find(portero, bridge):
    """The bridge, if portero has made it."""
    made = portero.read(['bridge', 'status', '--json'])
    return next((one for one in made if one['bridge'] == bridge), None)


def wanted(parameters):
    """The words that describe the bridge."""
    words = ['--bridge=' + parameters['bridge']]
    words.extend('--nic=' + nic for nic in parameters['nics'])
    if parameters['stp']:
        words.append('--stp')
    if parameters['renderer']:
        words.append('--renderer=' + parameters['renderer'])
    return words


def steps(portero, parameters, found):
    """The command that brings about what is asked for, and the difference of files; none if nothing is to be done."""
    name = ['--bridge=' + parameters['bridge']]
    if parameters['state'] == 'absent':
        if found is None:
            return None, None
        return ['bridge', 'remove' if found['state'] == 'confirmed' else 'rollback'] + name, None
    if parameters['state'] == 'confirmed':
        if found is not None and found['state'] == 'confirmed':
            return None, None
        return ['bridge', 'confirm'] + name, None
    if found is not None:
        if found['nics'] == parameters['nics'] and found['state'] in ('confirmed', 'waiting'):
            return None, None
        portero.module.fail_json(
            msg='%s exists with %s and is %s; remove it first' % (found['bridge'], ', '.join(found['nics']), found['state']),
        )
    plan = portero.run(['bridge', 'plan'] + wanted(parameters), (0, WOULD_CHANGE))
    if plan.status == 0:
        portero.module.fail_json(msg='no file would change; is the NIC in a bridge already?')
    words = ['bridge', 'apply'] + wanted(parameters) + ['--timeout=%d' % parameters['timeout']]
    words.extend('--accept=' + what for what in parameters['accept'])
    return words, plan.stdout


def main():
    module = AnsibleModule(
        argument_spec=dict(
            bridge=dict(type='str', required=True),
            state=dict(type='str', choices=['present', 'confirmed', 'absent'], default='present'),
            nics=dict(type='list', elements='str', aliases=['nic']),
            stp=dict(type='bool', default=False),
            renderer=dict(type='str', choices=['ifcfg', 'keyfile', 'networkd', 'netplan', 'ifupdown']),
            timeout=dict(type='int', default=120),
            accept=dict(type='list', elements='str', default=[]),
        ),
        required_if=[('state', 'present', ['nics'])],
        supports_check_mode=True,
    )
    portero = Portero(module)
    bridge = module.params['bridge']
    found = find(portero, bridge)
    words, files = steps(portero, module.params, found)
    result = dict(changed=words is not None, status=found)
    if files:
        result['diff'] = dict(prepared=files)
    if words is not None and not module.check_mode:
        portero.run(words)
        result['status'] = find(portero, bridge)
    module.exit_json(**result)


if __name__ == '__main__':
    main()
