variable "environment" {
  description = "Name of the environment."
  type        = string
  default     = "production"
}

variable "docker_image" {
  description = "Image of the server, best with a digest."
  type        = string
  default     = "123456789012.dkr.ecr.us-east-1.amazonaws.com/pilotage@sha256:abababababababababababababababababababababababababababababababab"
}

variable "asg_subnets" {
  description = "Subnets of the instances, in two zones."
  type        = list(string)
}

variable "load_balancer_subnets" {
  description = "Subnets of the load balancer."
  type        = list(string)
}

variable "zone_id" {
  description = "Route 53 zone: the module makes name and certificate in it."
  type        = string
}

variable "dns_names" {
  description = "Names in that zone."
  type        = list(string)
  default     = ["finance"]
}

variable "alarm_emails" {
  description = "Who is told of alarms."
  type        = list(string)
}

variable "replication_region" {
  description = "Region of the access log's copy."
  type        = string
}

variable "keys_secret_arn" {
  description = "Secret with the file of API-key hashes."
  type        = string
  default     = "arn:aws:secretsmanager:us-east-1:123456789012:secret:receipts/keys-AbCdEf"
}

variable "task_role_arn" {
  description = "Role of the server, such as to read weights from S3."
  type        = string
  default     = null
}

variable "execution_extra_policy" {
  description = "Policies of the execution role by name: to read the secrets."
  type        = map(string)
  default     = {}
}
