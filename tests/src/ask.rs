//! Questions by HTTP, answers with all that they say.

use crate::stack::Stack;

/// What an answer says of itself, and its body.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Its headers.
    pub headers: http::HeaderMap,
    /// Its body, as it was sent.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header, empty where it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap_or_default())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Asks render for a path, following nothing.
///
/// # Panics
/// When nothing answers.
pub async fn get(stack: &Stack, path: &str, headers: &[(&str, &str)]) -> Answer {
    let url = format!("{}{path}", stack.serving.endpoints.url);
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let headers: Vec<(String, String)> = headers.iter().map(own).collect();
    let ask = move || {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0);
        let agent: ureq::Agent = agent.build().into();
        let request = headers.iter().fold(agent.get(&url), |request, (name, value)| {
            request.header(name.as_str(), value.as_str())
        });
        let mut answer = request.call().unwrap_or_else(|error| panic!("{url}: {error}"));
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Answer { status, headers, body: answer.body_mut().read_to_vec().unwrap_or_default() }
    };
    tokio::task::spawn_blocking(ask).await.unwrap_or_else(|error| panic!("{error}"))
}
