//! The requests to send, drawn from a seed: the same seed draws the same requests.

use fastrand::Rng;

use super::mix::{Kind, Made, SERVICES, Service};
use super::request::Planned;

/// All requests of a run.
#[derive(Debug)]
pub(super) struct Plan {
    /// The requests, indexed by number, which is also the tag.
    pub(super) requests: Vec<Planned>,
    /// The number of calls that are certain to be made.
    pub(super) calls: u64,
}

impl Plan {
    /// Draws requests that are certain to make at least `calls` calls, and maybe some more.
    pub(super) fn draw(calls: u64, seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let here = || {
            SERVICES
                .iter()
                .enumerate()
                .filter(|(_, service)| service.is_here())
        };
        let sure = here().filter(|(_, service)| service.is_sure());
        let parts: u64 = sure.map(|(_, service)| u64::from(service.share)).sum();
        let mut plan = Self {
            requests: Vec::new(),
            calls: 0,
        };
        for (index, service) in here() {
            let target = (calls * u64::from(service.share)).div_ceil(parts);
            let mut drawn = 0;
            while drawn < target {
                let request = Planned::draw(index, service, &mut rng);
                let kind = request.kind();
                if kind.made == Made::All {
                    plan.calls += request.calls();
                    drawn += request.calls();
                }
                if !service.is_sure() {
                    drawn += 1;
                }
                plan.requests.push(request);
            }
        }
        plan
    }
}

impl Service {
    /// Returns true if some of its requests make calls that nothing prevents.
    fn is_sure(&self) -> bool {
        let sure = |kind: &Kind| kind.made == Made::All && kind.most_calls > 0;
        self.kinds.iter().any(sure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_each_time_and_another_draws_otherwise() {
        let urls = |seed| {
            let plan = Plan::draw(2_000, seed);
            let requests = plan.requests.iter();
            requests
                .map(|request| request.path("http://up") + &request.parent().to_string())
                .collect::<Vec<_>>()
        };
        assert_eq!(urls(1), urls(1));
        assert_ne!(urls(1), urls(2));
    }

    #[test]
    fn what_will_surely_be_called_is_at_least_what_was_asked_for() {
        let plan = Plan::draw(5_000, 7);
        assert!((5_000..5_500).contains(&plan.calls), "{}", plan.calls);
    }

    #[test]
    fn every_kind_is_drawn_and_has_a_rule_for_each_of_its_calls() {
        let plan = Plan::draw(4_000, 3);
        let services = SERVICES.iter().enumerate();
        for (index, service) in services.filter(|(_, service)| service.is_here()) {
            for (nth, kind) in service.kinds.iter().enumerate() {
                let mut requests = plan.requests.iter();
                let drawn =
                    requests.find(|request| request.service == index && request.kind == nth);
                let drawn = drawn.unwrap_or_else(|| panic!("{}: {}", service.name, kind.mode));
                for number in drawn.numbers() {
                    assert!(kind.rule(number).is_some(), "{}: {number}", kind.mode);
                }
            }
        }
    }
}
