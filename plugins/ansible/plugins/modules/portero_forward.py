#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: The portero developers
# GNU General Public License, version 2 or any later version (see LICENSE of portero), so also version 3
# (https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-2.0-or-later

from __future__ import absolute_import, division, print_function

__metaclass__ = type

DOCUMENTATION = r'''
module: portero_forward
short_description: Forward ports of a libvirt host to a guest
description:
  - Adds forwards to the metadata of a libvirt domain, or removes them, with C(portero forward).
  - portero checks them first. If one cannot be had, for example because a program of the host listens on the port, nothing changes
    and the task fails with portero's line.
  - The task is changed if portero reports that it changed the domain's metadata.
author:
  - The portero developers (@portero)
requirements:
  - portero on the managed host, of the same version as this collection, and to be run as root there
attributes:
  check_mode:
    description: Can run in check mode. portero checks the forwards as before a change, and reports what would change.
    support: full
  diff_mode:
    description: Shows the forwards of each affected state before and after.
    support: full
options:
  domain:
    description:
      - Name, ID or UUID of the domain.
    type: str
    required: true
  forwards:
    description:
      - The forwards, each as C(portero forward add) takes it, [ADDRESS:]PORTS[:GUESTPORTS][/PROTOCOLS].
      - For example V(443), V(8080:80), V(8000-8010) or V(53/tcp,udp). An IPv4 address alone is all of that address.
      - Required if O(state=present). With O(state=absent), leave it out to remove all forwards of the domain.
    type: list
    elements: str
    aliases:
      - forward
  state:
    description:
      - Whether the domain has these forwards. Its other forwards stay as they are.
    type: str
    choices:
      - present
      - absent
    default: present
  affect:
    description:
      - Which state of the domain changes, as with the flags of virsh.
      - V(persistent) is the next start and, if the domain runs, the running domain.
      - V(current) is the running domain, or its next start if it does not run.
    type: str
    choices:
      - persistent
      - config
      - live
      - current
    default: persistent
  sources:
    description:
      - Who may use the forwards. An address, a network or V(group:NAME) of C(/etc/portero/groups).
      - With V(!) before it, an exception.
    type: list
    elements: str
    default: []
    aliases:
      - source
  dev:
    description:
      - Interface of the host that packets arrive at.
    type: str
  masquerade:
    description:
      - Show the guest the host's address instead of the client's.
    type: bool
    default: false
  symmetric:
    description:
      - Send the guest's answers out by the uplink that the connection came in by.
    type: bool
    default: false
  network:
    description:
      - Virtual network of the domain's interface, if the domain has several interfaces.
    type: str
  guest:
    description:
      - The guest's address, if DHCP does not give it.
    type: str
  exclude:
    description:
      - Ports of a whole address that do not lead to the guest, as V(22) or V(5000-5010/tcp,udp).
    type: list
    elements: str
    default: []
  reserve:
    description:
      - Whether to reserve an address for an interface that has no DHCP reservation, when a forward is added.
      - If you do not set it, portero reserves nothing and warns.
    type: bool
  connect:
    description:
      - URI of the libvirt to connect to, for example V(lxc:///system).
    type: str
notes:
  - portero refuses a forward for a port that the domain forwards already with other options. Remove that one first.
  - With O(state=absent), O(sources), O(dev), O(guest) and the other options choose among several forwards of one port.
seealso:
  - module: portero.libvirt.portero_policy
  - module: portero.libvirt.portero_bridge
'''

EXAMPLES = r'''
- name: Forward port 8080 to the web server of guest web, now and on every start
  portero.libvirt.portero_forward:
    domain: web
    forwards: 8080:80

- name: Forward ssh for the office only
  portero.libvirt.portero_forward:
    domain: db
    forwards:
      - 2222:22
    sources:
      - group:office
      - "!198.51.100.9"

- name: Give guest mail all of an address of the host, except the host's own ssh
  portero.libvirt.portero_forward:
    domain: mail
    forwards:
      - 203.0.113.5
    exclude:
      - "22"

- name: Remove the forward of port 8080
  portero.libvirt.portero_forward:
    domain: web
    forwards: "8080"
    state: absent

- name: Remove all forwards of a guest
  portero.libvirt.portero_forward:
    domain: web
    state: absent
'''

RETURN = r'''
domain:
  description: The domain's name.
  returned: success
  type: str
  sample: web
live:
  description:
    - The forwards of the running domain after the task, or after it would have run in check mode. Null if that state is not affected.
  returned: success
  type: list
  elements: dict
  sample:
    - forward: 8080:80/tcp
      protocol: tcp
      ports: '8080'
      guest_ports: '80'
config:
  description:
    - The same for the domain's next start.
  returned: success
  type: list
  elements: dict
  sample:
    - forward: 8080:80/tcp
      protocol: tcp
      ports: '8080'
      guest_ports: '80'
messages:
  description: What portero prints for people.
  returned: success
  type: list
  elements: str
  sample:
    - domain 'web' forwards 8080:80/tcp from its next start on
    - domain 'web' forwards 8080:80/tcp to 192.168.122.10
'''

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.portero.libvirt.plugins.module_utils.portero import Portero

STATES = ('live', 'config')


def words_of(parameters, check_mode):
    """The command that brings about what is asked for."""
    is_added = parameters['state'] == 'present'
    words = ['forward', 'add' if is_added else 'remove', '--' + parameters['affect']]
    for name in ('connect', 'dev', 'network', 'guest'):
        if parameters[name]:
            words.append('--%s=%s' % (name, parameters[name]))
    for name in ('masquerade', 'symmetric'):
        if parameters[name]:
            words.append('--' + name)
    words.extend('--source=' + source for source in parameters['sources'])
    if is_added:
        words.extend('--exclude=' + ports for ports in parameters['exclude'])
        if parameters['reserve'] is not None:
            words.append('--reserve=%s' % ('yes' if parameters['reserve'] else 'no'))
    elif parameters['forwards']:
        words.append('--ignore-missing')
    else:
        words.append('--all')
    if check_mode:
        words.append('--dry-run')
    return words + ['--json', '--', parameters['domain']] + (parameters['forwards'] or [])


def main():
    module = AnsibleModule(
        argument_spec=dict(
            domain=dict(type='str', required=True),
            forwards=dict(type='list', elements='str', aliases=['forward']),
            state=dict(type='str', choices=['present', 'absent'], default='present'),
            affect=dict(type='str', choices=['persistent', 'config', 'live', 'current'], default='persistent'),
            sources=dict(type='list', elements='str', default=[], aliases=['source']),
            dev=dict(type='str'),
            masquerade=dict(type='bool', default=False),
            symmetric=dict(type='bool', default=False),
            network=dict(type='str'),
            guest=dict(type='str'),
            exclude=dict(type='list', elements='str', default=[]),
            reserve=dict(type='bool'),
            connect=dict(type='str'),
        ),
        required_if=[('state', 'present', ['forwards'])],
        supports_check_mode=True,
    )
    portero = Portero(module)
    done = portero.read(words_of(module.params, module.check_mode))
    affected = [state for state in STATES if done[state] is not None]

    def forwards(when):
        return dict((state, done[state][when]) for state in affected)

    after = forwards('after')
    module.exit_json(
        changed=done['changed'],
        domain=done['domain'],
        messages=done['messages'],
        diff=dict(before=forwards('before'), after=after),
        live=after.get('live'),
        config=after.get('config'),
    )


if __name__ == '__main__':
    main()
