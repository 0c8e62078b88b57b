// Owns what the first run collects before anything is sent.
export interface Draft {
  code: string;
  fqdn: string;
  email: string;
  name: string;
  password: string;
  repeated: string;
}
