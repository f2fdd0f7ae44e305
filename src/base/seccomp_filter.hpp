#pragma once
// Which system calls a program in the sandbox may not make, whatever its namespaces allow: those
// that mount, make namespaces, look into other processes, load code into the kernel, or have been
// ways out before. They fail with EPERM; clone3, whose flags no filter can see, with ENOSYS, so
// that libraries fall back to clone.

#include <string>

namespace understudy {

/// A program for bubblewrap's --seccomp: an array of struct sock_filter. Empty where this machine's
/// architecture is not known; then namespaces are all there is.
[[nodiscard]] std::string seccomp_filter();

}  // namespace understudy
