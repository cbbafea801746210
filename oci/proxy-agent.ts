import connect from 'undici/lib/api/api-connect.js';
import Dispatcher from 'undici/lib/dispatcher/dispatcher.js';
import ProxyAgent from 'undici/lib/dispatcher/proxy-agent.js';

// The tunnel through a proxy calls this method, which undici's main module, not loaded here, gives to all dispatchers.
Object.assign(Dispatcher.prototype, {connect});

/** Connections through an HTTP proxy. */
export {ProxyAgent};
