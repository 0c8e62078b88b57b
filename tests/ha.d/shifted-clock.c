// Runs a program, and whatever it starts, with a wall clock that is off by some seconds.
//
//   shifted-clock SECONDS PROGRAM ARGUMENT…
//
// A preloaded library reaches neither a static program nor one written in Go, and a time
// namespace has only the clocks that nobody sets. So the programs lose their vDSO, which makes
// them ask the kernel for the time, and the kernel asks here instead of answering itself.
// Clocks that only count, and the times of files, stay what they are. x86-64 only.
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long shift;
static int listener;

static void fail(const char *what) {
  fprintf(stderr, "shifted-clock: %s: %s\n", what, strerror(errno));
  exit(1);
}

// Sends the questions for the wall clock to the listener, and lets everything else through.
static int ask_listener(void) {
  struct sock_filter filter[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 7),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_gettimeofday, 6, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_time, 5, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clock_gettime, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOCK_REALTIME, 2, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, CLOCK_REALTIME_COARSE, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
  };
  struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
}

static long answer(const struct seccomp_notif *asked) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  now.tv_sec += shift;
  struct timeval micro = {now.tv_sec, now.tv_nsec / 1000};
  struct iovec own = {&now, sizeof now};
  unsigned long place = asked->data.args[1];
  long value = 0;
  if (asked->data.nr == SYS_time) {
    own = (struct iovec){&now.tv_sec, sizeof now.tv_sec};
    place = asked->data.args[0];
    value = now.tv_sec;
  } else if (asked->data.nr == SYS_gettimeofday) {
    own = (struct iovec){&micro, sizeof micro};
    place = asked->data.args[0];
  }
  struct iovec theirs = {(void *)place, own.iov_len};
  if (place && process_vm_writev(asked->pid, &own, 1, &theirs, 1, 0) < 0) return -EFAULT;
  return value;
}

static void *answer_all(void *nothing) {
  struct seccomp_notif asked;
  struct seccomp_notif_resp said;
  for (;;) {
    memset(&asked, 0, sizeof asked);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked) < 0) {
      if (errno == EINTR || errno == ENOENT) continue; // who asked has ended
      return nothing;
    }
    long value = answer(&asked);
    memset(&said, 0, sizeof said);
    said.id = asked.id;
    said.val = value < 0 ? 0 : value;
    said.error = value < 0 ? value : 0;
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &said);
  }
}

// Takes the vDSO out of what the kernel tells a new program.
static void hide_vdso(pid_t pid) {
  struct user_regs_struct regs;
  if (ptrace(PTRACE_GETREGS, pid, 0, &regs) < 0) return;
  unsigned long at = regs.rsp;
  long count = ptrace(PTRACE_PEEKDATA, pid, at, 0);
  at += 8 * (count + 2);
  while (ptrace(PTRACE_PEEKDATA, pid, at, 0) != 0) at += 8;
  for (at += 8;; at += 16) {
    errno = 0;
    long type = ptrace(PTRACE_PEEKDATA, pid, at, 0);
    if (errno || type == AT_NULL) return;
    if (type == AT_SYSINFO_EHDR) ptrace(PTRACE_POKEDATA, pid, at, AT_IGNORE);
  }
}

int main(int count, char **words) {
  if (count < 3) {
    fputs("usage: shifted-clock SECONDS PROGRAM ARGUMENT…\n", stderr);
    return 2;
  }
  shift = strtol(words[1], NULL, 10);
  int say[2], hear[2];
  if (pipe(say) < 0 || pipe(hear) < 0) fail("pipe");
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0) {
    char go;
    close(say[0]);
    close(hear[1]);
    // Traced before it may not be traced any more; the listener's number goes to the parent.
    if (read(hear[0], &go, 1) != 1) _exit(1);
    int number = ask_listener();
    if (number < 0) fail("seccomp");
    if (write(say[1], &number, sizeof number) != sizeof number || read(hear[0], &go, 1) != 1) _exit(1);
    close(number);
    close(say[1]);
    close(hear[0]);
    execvp(words[2], words + 2);
    fail(words[2]);
  }
  close(say[1]);
  close(hear[0]);
  long events = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
  if (ptrace(PTRACE_SEIZE, child, 0, events) < 0) fail("ptrace");
  int number, handle = syscall(SYS_pidfd_open, child, 0);
  if (write(hear[1], "1", 1) != 1 || read(say[0], &number, sizeof number) != sizeof number) fail("the program's start");
  listener = syscall(SYS_pidfd_getfd, handle, number, 0);
  if (listener < 0) fail("the listener");
  pthread_t thread;
  if (pthread_create(&thread, NULL, answer_all, NULL)) fail("a thread");
  if (write(hear[1], "2", 1) != 1) fail("the program's start");

  int verdict = 1, status;
  for (;;) {
    pid_t pid = waitpid(-1, &status, __WALL);
    if (pid < 0 && errno == EINTR) continue;
    if (pid < 0) return verdict; // all of them have ended
    if (!WIFSTOPPED(status)) {
      if (pid == child) verdict = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      continue;
    }
    int signal = WSTOPSIG(status), event = status >> 16;
    if (event == PTRACE_EVENT_EXEC) hide_vdso(pid);
    if (event == PTRACE_EVENT_STOP && signal != SIGTRAP) ptrace(PTRACE_LISTEN, pid, 0, 0);
    else ptrace(PTRACE_CONT, pid, 0, event ? 0 : signal);
  }
}
