#include "base/seccomp_filter.hpp"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace understudy {
namespace {

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr std::uint32_t kArchitecture = 0;
#endif

constexpr auto kDenied = std::to_array<long>({
  SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_move_mount, SYS_open_tree, SYS_fsopen,
      SYS_fsconfig, SYS_fsmount, SYS_fspick, SYS_mount_setattr, SYS_unshare, SYS_setns,
      SYS_pidfd_getfd, SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_io_uring_setup,
      SYS_io_uring_enter, SYS_io_uring_register, SYS_keyctl, SYS_add_key, SYS_request_key,
      SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_kexec_file_load,
      SYS_reboot, SYS_swapon, SYS_swapoff, SYS_acct, SYS_quotactl, SYS_settimeofday,
      SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime, SYS_sethostname, SYS_setdomainname,
      SYS_open_by_handle_at, SYS_name_to_handle_at, SYS_syslog, SYS_vhangup, SYS_fanotify_init,
      SYS_move_pages, SYS_migrate_pages,
#if defined(__x86_64__)
      SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_uselib,
#endif
});

constexpr std::uint32_t kNewNamespaces = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                                         CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

/// The low half of an argument; both architectures are little-endian.
constexpr std::uint32_t argument(std::size_t number) {
  return static_cast<std::uint32_t>(offsetof(seccomp_data, args) + 8 * number);
}
constexpr std::uint32_t fails_with(int error) {
  return SECCOMP_RET_ERRNO | static_cast<std::uint32_t>(error);
}

class Filter {
 public:
  void load(std::uint32_t offset) { add(BPF_LD | BPF_W | BPF_ABS, offset); }
  void end(std::uint32_t what) { add(BPF_RET | BPF_K, what); }
  /// The next `count` instructions only if what was loaded is the value.
  void if_equal(std::uint32_t value, std::uint8_t count) {
    add(BPF_JMP | BPF_JEQ | BPF_K, value, 0, count);
  }
  void unless_equal(std::uint32_t value, std::uint8_t count) {
    add(BPF_JMP | BPF_JEQ | BPF_K, value, count, 0);
  }
  void if_any_bit(std::uint32_t bits, std::uint8_t count) {
    add(BPF_JMP | BPF_JSET | BPF_K, bits, 0, count);
  }
  void if_at_least(std::uint32_t value, std::uint8_t count) {
    add(BPF_JMP | BPF_JGE | BPF_K, value, 0, count);
  }
  [[nodiscard]] std::string bytes() const {
    return {reinterpret_cast<const char*>(code_.data()), code_.size() * sizeof(sock_filter)};
  }

 private:
  void add(int code, std::uint32_t value, std::uint8_t if_true = 0, std::uint8_t if_false = 0) {
    code_.push_back({static_cast<std::uint16_t>(code), if_true, if_false, value});
  }
  std::vector<sock_filter> code_;
};

void deny_calls(Filter& filter) {
  for (const long call : kDenied) {
    filter.if_equal(static_cast<std::uint32_t>(call), 1);
    filter.end(fails_with(EPERM));
  }
  filter.if_equal(static_cast<std::uint32_t>(SYS_clone3), 1);
  filter.end(fails_with(ENOSYS));
  filter.if_equal(static_cast<std::uint32_t>(SYS_clone), 4);
  filter.load(argument(0));
  filter.if_any_bit(kNewNamespaces, 1);
  filter.end(fails_with(EPERM));
  filter.end(SECCOMP_RET_ALLOW);
  // Of sockets, those that programs speak to one another with: none of the kernel's own.
  filter.if_equal(static_cast<std::uint32_t>(SYS_socket), 6);
  filter.load(argument(0));
  filter.unless_equal(AF_UNIX, 3);
  filter.unless_equal(AF_INET, 2);
  filter.unless_equal(AF_INET6, 1);
  filter.end(fails_with(EAFNOSUPPORT));
  filter.end(SECCOMP_RET_ALLOW);
  // Typing into the terminal that it was started from.
  filter.if_equal(static_cast<std::uint32_t>(SYS_ioctl), 5);
  filter.load(argument(1));
  filter.unless_equal(TIOCSTI, 1);
  filter.if_equal(TIOCLINUX, 1);
  filter.end(fails_with(EPERM));
  filter.end(SECCOMP_RET_ALLOW);
}

}  // namespace

std::string seccomp_filter() {
  if (kArchitecture == 0) return {};
  Filter filter;
  filter.load(offsetof(seccomp_data, arch));
  filter.unless_equal(kArchitecture, 1);
  filter.end(SECCOMP_RET_KILL_PROCESS);
  filter.load(offsetof(seccomp_data, nr));
#if defined(__x86_64__)
  filter.if_at_least(0x40000000, 1);  // the x32 calls, under numbers of their own
  filter.end(fails_with(EPERM));
#endif
  deny_calls(filter);
  filter.end(SECCOMP_RET_ALLOW);
  return filter.bytes();
}

}  // namespace understudy
