// The engines alone: etcd, Patroni and PostgreSQL on three nodes, with certificates and files of
// our own. What is shown here is the harness: namespaces, stand-ins, faults, comparing.
//
// Owns: the least configuration that loses nothing, and a table with numbered rows.
// Must not know: the product. What it renders is richer, and is tested with it.
import fs from 'node:fs';
import path from 'node:path';
import { CLIENTS, UNITS, all } from './node.mjs';
import * as patroni from './patroni.mjs';
import { must, ran, until } from './tools.mjs';

const KEYS = 'var/lib/palisade-node/cluster-keys';
const READERS = { etcd: ['node'], postgres: ['node', 'postgres', 'replicator', 'rewind'] };

export class Engines {
  reads = ['rows'];

  constructor({ nodes, work }) {
    Object.assign(this, { nodes, pki: path.join(work, 'pki') });
  }

  /** Three empty nodes become a cluster. */
  async form() {
    await this.authority();
    for (const node of this.nodes) await this.keys(node);
    // The first one alone has the token of a cluster that is made; the others follow it.
    await Promise.all(this.nodes.map((node) => this.boot(node)));
    await until('a leader with a standby', 120, async () => (await patroni.told(this.nodes)).includes('sync_standby'));
    const first = await patroni.leader(this.nodes);
    const url = `https://${first.address}:8008/config`;
    const own = (name) => path.join(this.pki, name);
    const quorum = ['curl', '-sf', '--cacert', own('ca.crt'), '--cert', own('n1.crt'), '--key', own('n1.key'), '-XPATCH', '-d', '{"synchronous_mode":"quorum"}', url];
    await must(quorum);
    await all('two standbys', this.nodes, 120, () => this.whole());
    await this.sql(this.nodes, 'CREATE TABLE operation (number bigint PRIMARY KEY)', 'read-write').then(({ code, err }) => {
      if (code !== 0) throw new Error(err);
    });
  }

  async authority() {
    fs.rmSync(this.pki, { recursive: true, force: true });
    fs.mkdirSync(this.pki);
    await must(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30', '-subj', '/CN=CA',
      '-keyout', path.join(this.pki, 'ca.key'), '-out', path.join(this.pki, 'ca.crt')]);
    for (const name of ['postgres', 'replicator', 'rewind', 'palisade']) await this.issue(name, '127.0.0.1');
    for (const { name, address } of this.nodes) await this.issue(name, address);
  }

  async issue(name, address) {
    const at = (end) => path.join(this.pki, `${name}.${end}`);
    fs.writeFileSync(at('ext'), `subjectAltName=IP:${address},IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n`);
    await must(['openssl', 'req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', `/CN=${name}`, '-keyout', at('key'), '-out', at('csr')]);
    await must(['openssl', 'x509', '-req', '-in', at('csr'), '-CA', path.join(this.pki, 'ca.crt'), '-CAkey', path.join(this.pki, 'ca.key'), '-CAcreateserial',
      '-days', '30', '-extfile', at('ext'), '-out', at('crt')]);
  }

  async keys(node) {
    for (const [reader, names] of Object.entries(READERS)) {
      const place = node.at(KEYS, reader);
      fs.mkdirSync(place, { recursive: true, mode: 0o755 });
      const put = (from, to) => {
        fs.copyFileSync(path.join(this.pki, from), path.join(place, to));
        fs.chmodSync(path.join(place, to), 0o600);
      };
      put('ca.crt', 'authority.crt');
      for (const name of names) for (const end of ['crt', 'key']) put(`${name === 'node' ? node.name : name}.${end}`, `${name}.${end}`);
      await must(['chown', '-R', `${node.users[reader].uid}:${node.users[reader].gid}`, place]);
    }
  }

  boot(node) {
    return node.boot(() => this.render(node), [UNITS.etcd, UNITS.patroni]);
  }

  render(node) {
    const place = node.at('run/palisade-node/cluster');
    fs.mkdirSync(place);
    const key = (reader, name) => node.at(KEYS, reader, name);
    const tls = { 'cert-file': key('etcd', 'node.crt'), 'key-file': key('etcd', 'node.key'), 'trusted-ca-file': key('etcd', 'authority.crt'), 'client-cert-auth': true };
    const url = (address, port) => `https://${address}:${port}`;
    const etcd = {
      name: node.name, 'data-dir': node.at('var/lib/etcd/palisade'),
      'listen-peer-urls': url(node.address, 2380), 'initial-advertise-peer-urls': url(node.address, 2380),
      'listen-client-urls': url(node.address, 2379), 'advertise-client-urls': url(node.address, 2379),
      'initial-cluster': this.nodes.map(({ name, address }) => `${name}=${url(address, 2380)}`).join(','),
      'initial-cluster-token': 'engines', 'initial-cluster-state': 'new', 'enable-grpc-gateway': true, 'pre-vote': true,
      'client-transport-security': tls, 'peer-transport-security': tls,
    };
    const own = { cert: key('postgres', 'node.crt'), key: key('postgres', 'node.key'), ca: key('postgres', 'authority.crt') };
    const user = (username) => ({ username, sslmode: 'verify-full', sslcert: key('postgres', `${username}.crt`), sslkey: key('postgres', `${username}.key`), sslrootcert: own.ca });
    const programs = node.at('usr/lib/postgresql/17/bin');
    const first = path.join(place, 'first-database');
    const socket = node.at('run/postgresql');
    const at = `--host=${socket} --username=postgres --no-password`;
    fs.writeFileSync(first, `set -eu\n${programs}/createuser ${at} palisade\n${programs}/createdb ${at} --owner=palisade palisade\n`);
    const from = [CLIENTS, ...this.nodes.map(({ address }) => address)];
    const config = {
      scope: 'engines', namespace: '/palisade/', name: node.name,
      restapi: { listen: `${node.address}:8008`, connect_address: `${node.address}:8008`, certfile: own.cert, keyfile: own.key, cafile: own.ca, verify_client: 'optional' },
      ctl: { cacert: own.ca, certfile: own.cert, keyfile: own.key },
      etcd3: { hosts: [`${node.address}:2379`], use_proxies: true, protocol: 'https', cacert: own.ca, cert: own.cert, key: own.key },
      bootstrap: {
        dcs: {
          ttl: 20, loop_wait: 2, retry_timeout: 3, maximum_lag_on_failover: 1048576, synchronous_mode: true, synchronous_mode_strict: true, check_timeline: true,
          postgresql: {
            use_pg_rewind: true, use_slots: true,
            parameters: { max_connections: 60, wal_keep_size: '128MB', max_wal_size: '256MB', wal_log_hints: 'on', ssl: 'on', wal_sender_timeout: '3s', wal_receiver_timeout: '3s', tcp_user_timeout: 3000 },
          },
        },
        initdb: [{ encoding: 'UTF8' }, { locale: 'C.UTF-8' }, 'data-checksums'],
        post_bootstrap: `/bin/sh ${first}`,
      },
      postgresql: {
        listen: `${node.address}:5432`, connect_address: `${node.address}:5432`, data_dir: node.at('var/lib/postgresql/palisade'), bin_dir: programs,
        pgpass: node.at('var/lib/postgresql/palisade.pgpass'), use_unix_socket: true,
        authentication: { superuser: user('postgres'), replication: user('replicator'), rewind: user('rewind') },
        parameters: { unix_socket_directories: socket, ssl_cert_file: own.cert, ssl_key_file: own.key, ssl_ca_file: own.ca },
        pg_hba: ['local all postgres peer', ...from.flatMap((address) => [`hostssl replication replicator ${address}/32 cert`, `hostssl postgres rewind ${address}/32 cert`, `hostssl palisade palisade ${address}/32 cert`])],
        basebackup: [{ checkpoint: 'fast' }],
      },
      watchdog: { mode: 'off' },
    };
    fs.writeFileSync(path.join(place, 'etcd.yml'), JSON.stringify(etcd, null, 1));
    fs.writeFileSync(path.join(place, 'patroni.yml'), JSON.stringify(config, null, 1));
  }

  /** Runs a statement as a client of these nodes, on the first that fits. */
  sql(nodes, statement, attributes, limit = 6) {
    const own = (name) => path.join(this.pki, name);
    const target = [`host=${nodes.map(({ address }) => address).join(',')}`, 'dbname=palisade', 'user=palisade', 'connect_timeout=2', 'sslmode=verify-full',
      `sslrootcert=${own('ca.crt')}`, `sslcert=${own('palisade.crt')}`, `sslkey=${own('palisade.key')}`, `target_session_attrs=${attributes}`];
    return ran([path.join(this.nodes[0].programs.postgres, 'psql'), '-XqAt', '-d', target.join(' '), '-c', statement], { limit });
  }

  /** The nodes, beginning with this one. */
  from(node) {
    return [node, ...this.nodes.filter((other) => other !== node)];
  }

  async write(number, node) {
    const { code, err } = await this.sql(this.from(node), `INSERT INTO operation VALUES (${number}) ON CONFLICT DO NOTHING`, 'read-write');
    return { done: code === 0, why: err.trim() };
  }

  async read(_kind, node) {
    const { code, err } = await this.sql([node], 'SELECT count(*) FROM operation', 'any', 2);
    return { done: code === 0, why: err.trim() };
  }

  /** How often each operation is there, as this node sees it. */
  async rows(node) {
    const { code, out, err } = await this.sql([node], 'SELECT number, count(*) FROM operation GROUP BY number', 'any', 30);
    if (code !== 0) throw new Error(`${node.name}: ${err}`);
    return new Map(out.trim().split('\n').filter(Boolean).map((line) => line.split('|').map(Number)));
  }

  whole() {
    return patroni.whole(this.nodes);
  }

  told() {
    return patroni.told(this.nodes);
  }

  leader() {
    return patroni.leader(this.nodes);
  }

  /** A trial begins. */
  async begin() {}

  /** What else is to be the same everywhere. */
  async complaints() {
    return [];
  }
}
