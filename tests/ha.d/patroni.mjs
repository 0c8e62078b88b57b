// What the nodes' Patronis say of the cluster, over the interface that is open to everybody.
//
// Owns: who leads, and whether the cluster is whole.
// Must not know: who has formed it.
import { request } from './https.mjs';

/** The members as one node sees them; nothing when it does not answer. */
export async function view(node) {
  try {
    const { status, json } = await request({ host: node.address, port: 8008, target: '/cluster', limit: 2 });
    return status === 200 ? json.members : undefined;
  } catch {
    return undefined;
  }
}

/** The node whose own Patroni says that it leads. */
export async function leader(nodes) {
  const said = await Promise.all(nodes.filter((node) => node.runs).map(async (node) => {
    try {
      const { status } = await request({ host: node.address, port: 8008, target: '/primary', limit: 2 });
      return status === 200 ? node : undefined;
    } catch {
      return undefined;
    }
  }));
  return said.find(Boolean);
}

/** Whether one leads and two follow, each of which may acknowledge a write; every node has to say so. */
export async function whole(nodes) {
  const views = await Promise.all(nodes.map(view));
  return views.every((members) => {
    const count = (...roles) => (members ?? []).filter(({ role, state }) => roles.includes(role) && ['running', 'streaming'].includes(state)).length;
    return count('leader') === 1 && count('quorum_standby') === 2;
  });
}

/** The same in one line, for people. */
export async function told(nodes) {
  for (const node of nodes) {
    const members = await view(node);
    if (members) return members.map(({ name, role, state, lag }) => `${name} ${role} ${state}${lag ? ` ${lag} behind` : ''}`).join(', ');
  }
  return 'no Patroni answers';
}
