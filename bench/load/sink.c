/*
 * sink: the cheapest sender there is: one thread a connection, a blocking sendfile(2) of one file for whatever is asked.
 * Shows what the load generator can take. Usage: sink PORT FILE
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int file;
static off_t size;

static int read_request(int fd) {
  char text[4096];
  size_t used = 0;
  while (used < sizeof text) {
    ssize_t count = recv(fd, text + used, sizeof text - used, 0);
    if (count <= 0) return 0;
    used += (size_t)count;
    if (memmem(text, used, "\r\n\r\n", 4) != NULL) return 1;
  }
  return 0;
}

static void *serve(void *argument) {
  int fd = (int)(intptr_t)argument;
  while (read_request(fd)) {
    char header[128];
    int length = snprintf(header, sizeof header, "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\n\r\n", (long long)size);
    if (send(fd, header, (size_t)length, MSG_NOSIGNAL | MSG_MORE) != length) break;
    off_t at = 0;
    while (at < size && sendfile(fd, file, &at, (size_t)(size - at)) > 0) continue;
    if (at < size) break;
  }
  close(fd);
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  struct stat facts;
  file = open(argv[2], O_RDONLY);
  if (file < 0 || fstat(file, &facts) != 0) return 2;
  size = facts.st_size;
  signal(SIGPIPE, SIG_IGN);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 128) != 0) return 1;
  for (;;) {
    int fd = accept(listener, NULL, NULL);
    pthread_t thread;
    if (fd < 0) continue;
    if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) != 0) close(fd);
    else pthread_detach(thread);
  }
}
