// Of undici we use its HTTP/1.1 pool and its proxy agent. Its main module brings fetch, WebSocket, caches and mocks along,
// which stay in every node's memory (docs/performance.md); its parts have no types of their own.
declare module 'undici/lib/dispatcher/pool.js' {
  import {Pool} from 'undici';
  export default Pool;
}
declare module 'undici/lib/dispatcher/proxy-agent.js' {
  import {ProxyAgent} from 'undici';
  export default ProxyAgent;
}
declare module 'undici/lib/dispatcher/dispatcher.js' {
  import type {Dispatcher} from 'undici';
  const dispatcher: {readonly prototype: Dispatcher};
  export default dispatcher;
}
declare module 'undici/lib/api/api-connect.js' {
  import type {Dispatcher} from 'undici';
  const connect: Dispatcher['connect'];
  export default connect;
}
declare module 'undici/lib/core/connect.js' {
  import {buildConnector} from 'undici';
  export default buildConnector;
}
