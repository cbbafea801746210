/** The local API's socket, in the data folder. */
export const SOCKET_NAME = 'noost.sock';
