//! Metrics of the process itself, under the names that Prometheus' own clients use. Only Linux tells them; elsewhere they are not there.

#[cfg(target_os = "linux")]
pub(super) use linux::ProcessMeters;
#[cfg(not(target_os = "linux"))]
pub(super) use other::ProcessMeters;

#[cfg(target_os = "linux")]
mod linux {
    use metrics::Gauge;
    use procfs::process::{LimitValue, Process};
    use procfs::{Current as _, ProcResult, Uptime, page_size, ticks_per_second};

    use super::super::registry::Registry;
    use super::super::{catalog, now_ms};

    /// Tells how the process is.
    pub(crate) struct ProcessMeters {
        cpu: Gauge,
        resident: Gauge,
        virtual_memory: Gauge,
        start: Gauge,
        open_fds: Gauge,
        max_fds: Gauge,
        threads: Gauge,
    }

    impl ProcessMeters {
        pub(crate) fn new(registry: &Registry) -> Self {
            let gauge = |metric| registry.gauge(metric, &[]);
            let meters = Self {
                cpu: gauge(&catalog::PROCESS_CPU),
                resident: gauge(&catalog::PROCESS_RESIDENT),
                virtual_memory: gauge(&catalog::PROCESS_VIRTUAL),
                start: gauge(&catalog::PROCESS_START),
                open_fds: gauge(&catalog::PROCESS_OPEN_FDS),
                max_fds: gauge(&catalog::PROCESS_MAX_FDS),
                threads: gauge(&catalog::PROCESS_THREADS),
            };
            // These stay as they are.
            let _ = meters.look_once();
            meters
        }

        /// Looks how it is now. What cannot be read keeps its value.
        pub(crate) fn look(&self) {
            let _ = self.try_look();
        }

        fn try_look(&self) -> ProcResult<()> {
            let process = Process::myself()?;
            let stat = process.stat()?;
            self.cpu.set((stat.utime + stat.stime) as f64 / ticks_per_second() as f64);
            self.resident.set((stat.rss * page_size()) as f64);
            self.virtual_memory.set(stat.vsize as f64);
            self.threads.set(stat.num_threads as f64);
            self.open_fds.set(process.fd_count()? as f64);
            Ok(())
        }

        fn look_once(&self) -> ProcResult<()> {
            let process = Process::myself()?;
            let up_for = Uptime::current()?.uptime - process.stat()?.starttime as f64 / ticks_per_second() as f64;
            self.start.set((now_ms() as f64 / 1_000.0 - up_for).round());
            if let LimitValue::Value(files) = process.limits()?.max_open_files.soft_limit {
                self.max_fds.set(files as f64);
            }
            Ok(())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod other {
    use super::super::registry::Registry;

    /// Tells nothing.
    pub(crate) struct ProcessMeters;

    impl ProcessMeters {
        pub(crate) fn new(_registry: &Registry) -> Self {
            Self
        }

        pub(crate) fn look(&self) {}
    }
}
